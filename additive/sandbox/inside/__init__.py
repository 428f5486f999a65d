"""What runs inside the sandbox: the Python standard library only, nothing else of additive.

The package is put on the path of a bare interpreter under the name `inside`, so its modules import
each other relatively. Four processes share the work, so that code under test never meets the tests:

    server   reads jobs, starts the others, kills them, tells the verdict
    zygote   forked before the first job is read; it forks the children, whose memory therefore
             never held a test
    driver   one per job: executes the tests; what the code defines is there as remote objects
    child    one per job: executes the code, answers calls with plain data, may do nothing else
"""
