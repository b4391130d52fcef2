job "web" {
  constraint {
    operator = "="
    value    = "linux"
  }
  constraint {
    attribute = "${attr.kernel.name}"
    operator  = "="
    regexp    = "lin.*"
  }
  constraint {
    distinct_hosts = true
    is_set         = true
  }
  periodic {
    enabled = true
  }
  group "g" {
    task "t" {
      scaling "disk" {}
      identity {}
      identity { name = "default" }
      lifecycle {}
    }
  }
  task "g" {
    driver = "exec"
  }
}
