"""Roots of what once failed on machines as they are: login shells, files, terminals."""
