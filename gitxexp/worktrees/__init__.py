"""Linked worktrees that share the main worktree's data: made, listed, removed safely."""
