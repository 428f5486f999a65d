"""The verbs put together: train and freeze, merge and check. Only here do sibling packages meet."""
