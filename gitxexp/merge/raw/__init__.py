"""Bytes of database files, never read in the process that has them open in SQLite.

Closing any descriptor of a file drops the POSIX locks that the whole process holds on it
(sqlite.org/howtocorrupt.html section 2.2). What is here runs in a child process that has to start
quickly: it imports the standard library only, and little of that.
"""
