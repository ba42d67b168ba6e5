"""cfaudit audits a CloudFormation template for what is missing, miswired or unfit for production."""

__version__ = "0.1.0"
