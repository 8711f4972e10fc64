module weir.test/mixed

go 1.25
