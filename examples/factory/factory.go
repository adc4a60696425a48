// Package factory is what server and client of the example share.
package factory

import (
	"errors"

	"github.com/pyrossl/pyrossl/broker"
)

// ErrUnknownBrand means that nobody makes such a car.
var ErrUnknownBrand = errors.New("unknown brand")

// Errors is given to both sides, so that errors.Is works across the wire.
var Errors = broker.Errors{"factory.unknown-brand": ErrUnknownBrand}
