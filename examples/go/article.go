package main

import (
	"context"
	"errors"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// article is the published fix: look up the webhook id, then check the order's status and do the
// work in one transaction.
func article(ctx context.Context, conn *pgxpool.Conn, hook webhook) error {
	var seen bool
	err := conn.QueryRow(ctx,
		"SELECT EXISTS (SELECT FROM shopify_webhook_log WHERE webhook_id = $1)", hook.id).Scan(&seen)
	if err != nil || seen {
		return err
	}
	return pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		var status string
		err := tx.QueryRow(ctx, "SELECT status FROM orders WHERE shop = $1 AND order_id = $2",
			hook.shop, hook.order.ID).Scan(&status)
		if err != nil && !errors.Is(err, pgx.ErrNoRows) {
			return err
		}
		if status == "paid" {
			return logged(ctx, tx, hook, "duplicate_internal_status")
		}
		_, err = tx.Exec(ctx, "UPDATE orders SET status = 'paid' WHERE shop = $1 AND order_id = $2",
			hook.shop, hook.order.ID)
		if err != nil {
			return err
		}
		_, err = tx.Exec(ctx,
			`INSERT INTO fulfillment_requests (shop, order_id, idempotency_key, lines)
			 VALUES ($1, $2, gen_random_uuid(), $3)`, hook.shop, hook.order.ID, hook.order.Lines)
		if err != nil {
			return err
		}
		return logged(ctx, tx, hook, "success")
	})
}

func logged(ctx context.Context, tx pgx.Tx, hook webhook, status string) error {
	_, err := tx.Exec(ctx,
		"INSERT INTO shopify_webhook_log (webhook_id, shop, order_id, status) VALUES ($1, $2, $3, $4)",
		hook.id, hook.shop, hook.order.ID, status)
	return err
}
