job "web" {
  datacenters = "dc1"
  priority    = "high"
  type        = "servce"

  group "g" {
    count          = "three"
    shutdown_delay = 30

    restart {
      interval = "5 parsecs"
      mode     = "never"
      attempts = 2.5
    }

    task "t" {
      driver       = "exec"
      leader       = "perhaps"
      kill_timeout = ["5s"]
      config       = "x"
      env          = { A = ["b"] }

      resources {
        cpu = -0.5
      }
    }
  }
}
