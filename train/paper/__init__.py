"""The paper's questions and pictures."""
