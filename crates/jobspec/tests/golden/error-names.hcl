job "web" {
  datacenter = ["dc1"]

  group "g" {
    cuont = 1
    taks "t" {
      driver = "exec"
    }
    update = { max_parallel = 1 }
    task "t" {
      drvier = "exec"
      template {
        dat  = "x"
        zebra = 1
      }
      resources "x" {}
      kill_signal {}
    }
  }
}
