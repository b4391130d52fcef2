job "web" {
  meta {
    "my.key" = "x"
  }
}
