"""Does what the champion learnt still hold?"""
