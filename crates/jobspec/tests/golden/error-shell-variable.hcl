job "web" {
  group "g" {
    task "t" {
      driver = "exec"
      config {
        command = "/bin/sh"
        args    = ["-c", "echo ${HOME:-/root}"]
      }
    }
  }
}
