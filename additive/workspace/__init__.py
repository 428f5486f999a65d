"""A workspace on disk: where it is, what it holds, and where each name leads.

workspace     `Workspace`, `find_workspace`: the directories and specs below additive.yaml
bases         where a base's files are: bundled, a directory, or a model of the Hub
inputs        the digests of base and data, and additive.lock
recipes       the recipes and models that a merge names
environment   environment variables, and the record of versions and hardware
"""
