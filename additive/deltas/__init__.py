"""What did this training add to parameter p? One answer for every kind of adapter and fine-tune."""
