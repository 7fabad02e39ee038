module matchmark.example/adapter

go 1.21

require (
	github.com/i25959341/orderbook v0.2.5
	github.com/shopspring/decimal v1.4.0
)

require github.com/emirpasic/gods v1.18.1 // indirect
