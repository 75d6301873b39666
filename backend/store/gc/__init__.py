"""Clean-up of a data directory: a plan shows what can be removed, deleting moves it to the trash, a restore undoes it.

eligible.py   what can be removed now, and what is left alone with the reason
plans.py      plans as they were shown, kept a day in the database, each used once
delete.py     a plan's items are checked once more and moved to the trash
finish.py     folders that became empty, and what a killed clean-up left in its place
trash.py      the folders of `DATA/trash`: their manifests, what is in them, emptying
restore.py    files and rows from the trash back to where they were
rows.py       database rows as JSON lines, out and in
files.py      looking at and moving files without following symbolic links
items.py      the shapes that these share
"""
