"""Real machines as processes: boots User-Mode Linux guests and drives them with the method names of the NixOS test driver."""
