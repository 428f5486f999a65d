"""What a check found, for people: a table, a Markdown page, one HTML page, and what to do next.

Everything here is a pure function of the check's JSON document (`additive.check/1`), the manifests
and, if given, the items that changed hands. The same input gives the same bytes: no time, no host,
no random identifiers.

    document.py   the document, read strictly       table.py      rows, plain text, rich
    lineage.py    what the manifests say            markdown.py   reports/<merge>.md
    flips.py      items won and lost                html.py       reports/<merge>.html
    suggest.py    three next steps                  write.py      the pages and the document on disk
"""
