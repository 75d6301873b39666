"""Clean-up of a data directory: a plan lists what can be removed, deletion moves it to the trash, restore undoes it.

plans.py      plans: their models and their rows in the database, valid for a day and for one use
eligible.py   finds what can be removed now, and why the rest is skipped
delete.py     checks the items of a plan again and moves them to the trash
interrupted.py  completes deletions that were interrupted
trash.py      the folders of `DATA/trash`: manifests, contents, emptying
restore.py    moves files and rows from the trash back
rows.py       writes and reads database rows as JSON lines
files.py      checks and moves files without following symbolic links
"""
