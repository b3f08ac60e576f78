"""What a disk may look like after the power went: system calls recorded, and every legal outcome made from them."""
