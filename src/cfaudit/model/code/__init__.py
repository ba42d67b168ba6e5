"""Functions in, what their handlers' code does out.

``place`` finds the code and maps its positions, ``javascript`` and ``python`` make expressions of it (``tree``),
``program`` says what an expression means, ``sdk`` which calls go to AWS, ``reading`` states the ``facts``.
Nothing here imports tree-sitter before there is code to parse.
"""
