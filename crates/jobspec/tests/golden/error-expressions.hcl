locals {
  list = [1, 2]
  map  = { alpha = 1 }
}

job "web" {
  name      = uper("x")
  region    = local.map.alhpa
  priority  = local.list[2]
  namespace = yamldecode("a: 1")
  node_pool = substr("x")
  type      = "${local.list}"
  meta {
    a = 1 / 0
    b = "x" + 1
    c = file("../secret")
    d = file("missing.txt")
    e = uuidv4()
    f = bcrypt("x", 10)
    g = [for x in 5 : x]
    h = { for x in ["a", "a"] : x => 1 }
    i = true ? nope : 1
  }
}
