"""Finds every mistake of a document of settings, and says what to write instead.

`all_mistakes`    what is wrong, by place: the model's refusals, and values of other kinds
`explanation`     a refusal of the model in one line, without secrets
`wording`         what a value must be
`key_hints`       what was meant by an unknown name
`strictness`      values that a lenient reader would take for another kind
`toml_positions`  line and column of each place of the file
"""
