"""A study is analysed."""
