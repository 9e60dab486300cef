package main

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// fixed lets the order's own row decide who ships: whoever turns it to paid, in one statement, does.
// The key of the shipment derives from the order.
func fixed(ctx context.Context, conn *pgxpool.Conn, hook webhook) error {
	return pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		won, err := tx.Exec(ctx,
			`INSERT INTO orders (shop, order_id, status) VALUES ($1, $2, 'paid')
			 ON CONFLICT (shop, order_id) DO UPDATE SET status = 'paid'
			 WHERE orders.status = 'pending'`, hook.shop, hook.order.ID)
		if err != nil || won.RowsAffected() == 0 {
			return err
		}
		_, err = tx.Exec(ctx,
			`INSERT INTO fulfillment_requests (shop, order_id, idempotency_key, lines)
			 VALUES ($1, $2, $3, $4)`, hook.shop, hook.order.ID,
			fmt.Sprintf("%s:%d:fulfil:v1", hook.shop, hook.order.ID), hook.order.Lines)
		if err != nil {
			return err
		}
		_, err = tx.Exec(ctx,
			`INSERT INTO shopify_webhook_log (webhook_id, shop, order_id, status)
			 VALUES ($1, $2, $3, 'success') ON CONFLICT (webhook_id) DO NOTHING`,
			hook.id, hook.shop, hook.order.ID)
		return err
	})
}
