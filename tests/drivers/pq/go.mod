module weir.test/pq

go 1.25.0

require weir.test/mixed v0.0.0

require github.com/lib/pq v1.12.3

replace weir.test/mixed => ../lib
