job "sugar" {
  constraint {
    attribute = "${attr.kernel.name}"
    value     = "linux"
  }
  constraint { distinct_hosts = true }
  constraint {
    attribute = "${attr.nomad.version}"
    version   = ">= 1.0"
  }
  constraint {
    attribute = "${attr.nomad.version}"
    semver    = ">= 1.0.0"
  }
  constraint {
    attribute = "${node.class}"
    regexp    = "^big"
  }
  constraint {
    attribute    = "${meta.features}"
    set_contains = "a,b"
  }
  constraint {
    attribute = "${meta.rack}"
    is_set    = true
  }
  constraint { distinct_property = "${meta.rack}" }
  constraint {
    distinct_property = "${meta.rack}"
    value             = 2
  }
  constraint {
    attribute = "${meta.rack}"
    operator  = "is_not_set"
  }
  affinity {
    attribute = "${meta.rack}"
    value     = 1
    weight    = -20
  }

  vault { role = "job" }
  secret "a" { path = "job/a" }
  secret "b" { path = "job/b" }

  task "lone" { driver = "raw_exec" }

  group "g" {
    vault { role = "group" }
    secret "a" { path = "group/a" }
    network {
      port "dynamic" { to = 80 }
      port "fixed" { static = 8080 }
    }
    scaling {
      min = 1
      max = 5
      policy {
        cooldown = "1m"
        check "cpu" {
          query = "avg"
          strategy "target-value" { target = 70 }
        }
      }
    }
    task "own" {
      driver = "exec"
      vault { role = "task" }
      secret "b" { path = "task/b" }
      identity { env = true }
      identity {
        name = "aws"
        aud  = ["sts"]
      }
      scaling "cpu" { max = 1000 }
    }
    task "none" { driver = "exec" }
  }
}
