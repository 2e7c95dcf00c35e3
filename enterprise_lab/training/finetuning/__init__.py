"""A pre-trained BERT fine-tuned to classify texts: predicted, run, measured, resumed."""
