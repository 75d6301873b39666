"""Clean-up of a data directory: a plan shows what can be removed, deleting moves it to the trash, a restore undoes it.

plans.py      plans as they were shown: their shapes, kept a day in the database, each used once
eligible.py   what can be removed now, and what is left alone with the reason
delete.py     a plan's items are checked once more and moved to the trash; what a killed clean-up left in its place
trash.py      the folders of `DATA/trash`: their manifests, what is in them, emptying
restore.py    files and rows from the trash back to where they were
rows.py       database rows as JSON lines, out and in
files.py      looking at and moving files without following symbolic links
"""
