"""What the machine or the container gives: file systems, processors, memory."""
