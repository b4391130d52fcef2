# What all machines have.
{
  users.users.root.openssh.authorizedKeys.keys = [
    # Yours: without one nobody gets in.
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIExampleExampleExampleExampleExampleExampleExam you@example"
  ];
}
