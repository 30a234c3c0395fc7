"""Bring the rows of other experiments in: plan, engines, git merge driver."""
