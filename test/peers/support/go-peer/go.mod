module trellis.test/go-peer

go 1.24
