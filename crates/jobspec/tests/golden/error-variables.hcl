variable "count" {
  type    = number
  default = "many"
}

variable "image" {
  type = string
}

variable "image" {}

variable "x" {
  typo = 1
}

variable "level" {
  type    = number
  default = 7
  validation {
    condition     = var.level < 5
    error_message = "The level must be below 5."
  }
}

locals {
  a = local.b
  b = local.a
  c = var.imagee
}

job "web" {
  name     = var.image
  priority = local.d
  region   = lcoal.x
  type     = "${var.unknown}"
}
