"""Who, and when: patients, times, events and folds."""
