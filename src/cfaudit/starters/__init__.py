"""What ``cfaudit init`` writes: files that are used as they stand, but for the names of the place they are put in."""
