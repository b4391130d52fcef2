job "web" {
  datacenters = ["a"]
  datacenters = ["b"]
}
