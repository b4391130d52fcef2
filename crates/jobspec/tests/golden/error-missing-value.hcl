job "web" {
  name =
}
