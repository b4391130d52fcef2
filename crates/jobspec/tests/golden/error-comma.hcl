job "web" {
  group "g" { count = 1, shutdown_delay = "1s" }
}
