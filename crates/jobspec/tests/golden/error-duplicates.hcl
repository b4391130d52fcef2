job "web" {
  group "a" {
    network {
      port "http" {}
      port "http" {}
    }
    volume "data" { type = "host" }
    volume "data" { type = "csi" }
    task "t" { driver = "exec" }
    task "t" { driver = "exec" }
    restart { attempts = 1 }
    restart { attempts = 2 }
  }
  group "a" {}
  group {}
  group "b" "c" {}
  group "" {}
}
