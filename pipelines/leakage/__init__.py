"""Can the future change the past?"""
