"""Where webhooks come in."""

from django.urls import path

from shop import views

urlpatterns = [
    path("readyz", views.ready),
    path("webhooks/orders/create", views.created),
    path("webhooks/orders/paid", views.paid),
]
