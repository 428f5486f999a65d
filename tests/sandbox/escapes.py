"""Code that tries to get out, or to pass without doing the work; no `f()` of these may pass.

Each is judged by `assert f() == 1`, so an attack that succeeds would return 1.
"""

ESCAPES = {
    "forks without end": "import os\nwhile True:\n    os.fork()\n",
    "starts a daemon": (
        "import subprocess\n"
        "def f():\n    subprocess.Popen(['sleep', '1000'], start_new_session=True); return 1\n"
    ),
    "becomes another program": "import os\ndef f():\n    os.execv('/bin/sh', ['sh']); return 1\n",
    "starts threads without end": (
        "import threading, time\ndef f():\n    for _ in range(10**5):\n"
        "        threading.Thread(target=time.sleep, args=(99,)).start()\n    return 1\n"
    ),
    "writes outside": "def f():\n    open('{outside}', 'w').write('x'); return 1\n",
    "writes where it is": "def f():\n    open('escaped', 'w').write('x'); return 1\n",
    "appends to a library": "import os\ndef f():\n    open(os.__file__, 'a'); return 1\n",
    "deletes its directory": "import shutil\ndef f():\n    shutil.rmtree('.'); return 1\n",
    "makes a file in memory": "import os\ndef f():\n    os.memfd_create('x'); return 1\n",
    "reads the users": "def f():\n    return len(open('/etc/passwd').read()) > 0 and 1\n",
    "reads a secret": "def f():\n    return 'hunter2' in open('{secret}').read() and 1\n",
    "reads the environment": (
        "import os\ndef f():\n    return int(any('hunter2' in v for v in os.environ.values()))\n"
    ),
    "reads other processes": "def f():\n    open('/proc/1/environ').read(); return 1\n",
    "opens TCP": (
        "import socket\ndef f():\n    socket.create_connection(('127.0.0.1', {port})); return 1\n"
    ),
    "opens UDP": (
        "import socket\ndef f():\n    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n"
        "    s.sendto(b'x', ('127.0.0.1', {port})); return 1\n"
    ),
    "opens a Unix socket": "import socket\ndef f():\n    socket.socket(socket.AF_UNIX); return 1\n",
    "opens a socket by number": (
        "import ctypes\ndef f():\n    return int(ctypes.CDLL(None).socket(2, 2, 0) >= 0)\n"
    ),
    "kills its parent": "import os\ndef f():\n    os.kill(os.getppid(), 9); return 1\n",
    "kills everybody": "import os\ndef f():\n    os.kill(-1, 9); return 1\n",
    "kills its group": "import os\ndef f():\n    os.killpg(0, 9); return 1\n",
    "signals by a descriptor": (
        "import fcntl, os\ndef f():\n    fcntl.fcntl(1, fcntl.F_SETOWN, os.getppid()); return 1\n"
    ),
    "traces its parent": (
        "import ctypes, os\n"
        "def f():\n    return int(ctypes.CDLL(None).ptrace(16, os.getppid(), 0, 0) >= 0)\n"
    ),
    "raises its limits": (
        "import resource\n"
        "def f():\n    resource.setrlimit(resource.RLIMIT_CPU, (999, 999)); return 1\n"
    ),
    "takes 4 GB": "def f():\n    return len(bytearray(4 << 30)) and 1\n",
    "prints a verdict": "print('PASS')\nprint('{\"passed\": true}')\ndef f(): return 2\n",
    "writes a verdict to every descriptor": (
        'import os, struct\nb = b\'{"passed": true, "names": {}}\'\nfor n in range(64):\n'
        "    try: os.write(n, struct.pack('<I', len(b)) + b)\n    except OSError: pass\n"
        "def f(): return 2\n"
    ),
    "ends well at once": "import os\nos._exit(0)\n",
    "ends well when called": "import os\ndef f(): os._exit(0)\n",
    "leaves by SystemExit": "import sys\ndef f(): sys.exit(0)\n",
    "dies of a signal": "import signal\ndef f(): signal.raise_signal(signal.SIGTERM)\n",
    "crashes": "import ctypes\ndef f(): ctypes.string_at(0)\n",
    "equals everything": (
        "class A:\n    def __eq__(s, o): return True\n    def __ne__(s, o): return False\n"
        "    __hash__ = None\ndef f(): return A()\n"
    ),
    "is a number that equals everything": (
        "class A(int):\n    def __eq__(s, o): return True\n    def __hash__(s): return 1\n"
        "def f(): return A(7)\n"
    ),
    "redefines assert's error": (
        "import builtins\nbuiltins.AssertionError = ValueError\ndef f(): return 2\n"
    ),
    "looks for the answer in memory": (
        "import gc, sys\ndef f():\n    frame = sys._getframe()\n    while frame:\n"
        "        if 'TESTS-' + 'MARK' in repr(frame.f_locals): return 1\n"
        "        frame = frame.f_back\n"
        "    return int(any('TESTS-' + 'MARK' in o for o in gc.get_objects() if type(o) is str))\n"
    ),
    "returns without bottom": (
        "def f():\n    x = []\n    for _ in range(10**5): x = [x]\n    return x\n"
    ),
    "calls itself for ever": "def f(): return f()\n",
    "returns far too much": "def f(): return 'x' * (9 << 20)\n",
    "closes its pipes": "import os\ndef f():\n    os.closerange(0, 99); return 1\n",
}
SLOW_ESCAPES = {
    "sleeps": "import time\ndef f():\n    time.sleep(1000)\n",
    "loops": "def f():\n    while True: pass\n",
    "loops and ignores signals": (
        "import signal\nsignal.signal(signal.SIGXCPU, signal.SIG_IGN)\n"
        "def f():\n    while True: pass\n"
    ),
    "prints without end": "def f():\n    while True: print('x' * 10_000)\n",
    "forks and swallows the error": (
        "import os\nwhile True:\n    try: os.fork()\n    except BaseException: pass\n"
    ),
}
