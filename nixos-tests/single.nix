# One machine, a server and a client in one.
{ alone, ... }: alone
