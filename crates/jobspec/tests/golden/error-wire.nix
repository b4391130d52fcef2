{ Job = { ID = "web"; TaskGroup = [ ]; }; }
