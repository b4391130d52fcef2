job "web" {
  name = "web
  type = "batch"
}
