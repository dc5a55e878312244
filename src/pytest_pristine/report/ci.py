def properties(document):
    return []


def append(document, environ):
    return ""
