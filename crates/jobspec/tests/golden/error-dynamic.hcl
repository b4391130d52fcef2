job "web" {
  dynamic "group" {
    for_each = 3
    labels   = ["x"]
    content {}
  }
  dynamic "group" {
    for_each = ["a"]
    content {}
  }
  dynamic "group" {
    foreach = ["a"]
    content {}
  }
  dynamic {
  }
}
